// What is looked at, in the address behind the #: a view can be sent to a colleague, and Back goes back.

const State = (() => {
  const listeners = [];
  let values = read();

  function read() {
    return new URLSearchParams(location.hash.slice(1));
  }

  function get(key) {
    return values.get(key);
  }

  function all(key) {
    return values.getAll(key);
  }

  // Changes keys; null takes one away, an array gives several values. `push` makes a step that Back undoes.
  function set(changes, push = false) {
    const next = new URLSearchParams(values);
    for (const [key, value] of Object.entries(changes)) {
      next.delete(key);
      for (const each of [value].flat()) if (each !== null && each !== "") next.append(key, each);
    }
    if (next.toString() === values.toString()) return;
    const before = values;
    values = next;
    const address = `#${next}`;
    if (push) history.pushState(history.state, "", address);
    else history.replaceState(history.state, "", address);
    tell(before);
  }

  function tell(before) {
    const keys = new Set([...before.keys(), ...values.keys()]);
    const changed = new Set([...keys].filter((key) => before.getAll(key).join("\n") !== values.getAll(key).join("\n")));
    for (const listener of listeners) listener(changed);
  }

  addEventListener("popstate", () => {
    const before = values;
    values = read();
    tell(before);
  });

  // What a reload keeps and a link does not carry: the place on the page, and texts that are unfolded.
  function keep(kept) {
    history.replaceState({ ...history.state, ...kept }, "");
  }

  return { get, all, set, keep, kept: () => history.state ?? {}, onChange: (listener) => listeners.push(listener) };
})();
