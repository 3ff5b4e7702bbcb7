// Mouse, fingers and keys.

const KEY_NAMES = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  " ": "space",
  Enter: "enter",
};

/** Name of a key: a digit or one of W, A, S and D by its place on the keyboard, others by what they type. */
function keyName(event) {
  const place = /^(?:Digit|Numpad|Key)([0-9WASD])$/.exec(event.code);
  return place ? place[1].toLowerCase() : KEY_NAMES[event.key] || event.key.toLowerCase();
}

/** Whether the element that has the focus uses a key itself. */
function isKeyOf(target, key) {
  if (target.closest("input")) return key in DIRECTIONS;
  return (key === "enter" || key === "space") && Boolean(target.closest("a, button, summary"));
}

/** Pass the keys of the whole page on. A key that is held down counts once. */
function listenToKeys(app) {
  const used = new Set(); // keys that are down and were used: their release must not press a button
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = keyName(event);
    if (event.repeat) {
      if (used.has(key) || key === "enter") event.preventDefault();
      return;
    }
    if (isKeyOf(event.target, key) || !app.press(key)) return;
    used.add(key);
    event.preventDefault();
  });
  document.addEventListener("keyup", (event) => {
    const key = keyName(event);
    if (used.delete(key)) event.preventDefault();
    app.release(key);
  });
  const leave = () => {
    used.clear();
    app.loseFocus();
  };
  window.addEventListener("blur", leave);
  document.addEventListener("visibilitychange", () => document.hidden && leave());
}

/** A pointer on the scene moves the gaze, and takes a glimpse where it is released. */
function listenToPointer(app, canvas) {
  const point = (event) => {
    app.pointAt(event);
    return event.isPrimary;
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", (event) => {
    if (point(event)) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", (event) => {
    const { left, top, right, bottom } = canvas.getBoundingClientRect();
    const isInside = event.clientX >= left && event.clientX < right && event.clientY >= top && event.clientY < bottom;
    if (point(event) && event.button === 0 && isInside) app.click();
  });
}

/** A button that stands for a key as long as it is held down; the keyboard taps it. */
function listenToHeldButton(app, button, key) {
  button.addEventListener("pointerdown", () => app.press(key));
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
    button.addEventListener(name, () => app.release(key));
  }
  button.addEventListener("contextmenu", (event) => event.preventDefault()); // of a long touch
  button.addEventListener("click", (event) => {
    if (event.detail) return; // a pointer
    app.press(key);
    app.release(key);
  });
}
