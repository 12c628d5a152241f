// What is drawn: a toggle and a key each, remembered by this browser.
import { LAYERS } from "./draw.js";

const KEPT = "xpose-layers";

/** The set of layers that are shown; `changed` is called when it has changed. */
export function makeLayers(toolbar, changed) {
  const shown = new Set(remembered() ?? LAYERS.filter((layer) => layer[3]).map(([name]) => name));
  const buttons = new Map();
  for (const [name, key, title] of LAYERS) {
    const button = document.createElement("button");
    button.className = "chip";
    button.innerHTML = `${title} <kbd>${key.toUpperCase()}</kbd>`;
    button.setAttribute("aria-keyshortcuts", key);
    button.onclick = () => toggle(name);
    buttons.set(name, button);
    toolbar.append(button);
  }
  const show = () => buttons.forEach((button, name) => button.setAttribute("aria-pressed", String(shown.has(name))));
  function toggle(name) {
    if (!shown.delete(name)) shown.add(name);
    localStorage.setItem(KEPT, JSON.stringify([...shown]));
    show();
    changed();
  }
  show();
  return { shown, toggle };
}

function remembered() {
  try {
    const names = JSON.parse(localStorage.getItem(KEPT));
    return Array.isArray(names) ? names : null;
  } catch {
    return null;
  }
}
