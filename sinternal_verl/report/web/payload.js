// Reads what sinternal_verl/report/payload.py packed.

const ARRAYS = { int8: Int8Array, int16: Int16Array, int32: Int32Array, float32: Float32Array, float64: Float64Array };

async function unpack(name) {
  const text = document.getElementById(`block-${name}`).textContent;
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function unpackJson(name) {
  return JSON.parse(new TextDecoder().decode(await unpack(name)));
}

// A column of a block; its first bytes stand together, then its second ones.
function column(block, [type, begin, length]) {
  const array = new ARRAYS[type](length);
  const bytes = new Uint8Array(array.buffer);
  const size = array.BYTES_PER_ELEMENT;
  for (let byte = 0; byte < size; byte++) {
    const from = begin + byte * length;
    for (let i = 0; i < length; i++) bytes[i * size + byte] = block[from + i];
  }
  return array;
}
