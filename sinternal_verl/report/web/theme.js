// Colours stand in page.css, once for light and once for dark.

const COLOURS = 12;
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function colour(number) {
  return css(`--line-${number % COLOURS}`);
}

// The thirteenth line has the first one's colour and another dash.
function dash(number, of) {
  return DASHES[(of + Math.floor(number / COLOURS)) % DASHES.length];
}

// Calls back when the colours change: by the reader's choice, or for paper.
function onColours(draw) {
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", draw);
}
