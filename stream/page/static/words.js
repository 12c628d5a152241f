// Prompt by words: completed as one types, and what was wrong beside the field.

export class Words {
  constructor(connection) {
    this._connection = connection;
    this._known = [];
    this._active = -1;
    [this._form, this._field, this._list, this._error] = ["words", "words-field", "words-list", "words-error"].map((id) =>
      document.getElementById(id),
    );
    this._field.addEventListener("input", () => this._complete());
    this._field.addEventListener("focus", () => this._complete());
    this._field.addEventListener("blur", () => setTimeout(() => this._close(), 150));
    this._field.addEventListener("keydown", (event) => this._key(event));
    this._form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._ask();
    });
  }

  /** What the weights know, and what is looked for now. */
  know(known, prompt) {
    this._known = known;
    this.show(prompt);
  }

  /** What is looked for now, unless somebody is typing. */
  show(prompt) {
    if (this._shown === prompt.version || document.activeElement === this._field) return;
    this._shown = prompt.version;
    this._field.value = prompt.name;
  }

  focus() {
    this._field.focus();
    this._field.select();
  }

  async _ask() {
    this._close();
    this._say("");
    this._form.classList.add("busy");
    try {
      const { version, name } = await this._connection.ask({ do: "ask", prompt: this._field.value });
      this._shown = version;
      this._field.value = name;
      this._field.blur();
    } catch (error) {
      this._say(error.message);
    }
    this._form.classList.remove("busy");
  }

  _say(text) {
    this._error.textContent = text;
    this._error.hidden = !text;
    this._field.setAttribute("aria-invalid", String(Boolean(text)));
  }

  /** The word that is being typed, and the others. */
  _parts() {
    const words = this._field.value.split(",").map((word) => word.trim());
    return [words.slice(0, -1), words.at(-1)];
  }

  _complete() {
    const [others, typed] = this._parts();
    const fits = this._known.filter((name) => !others.includes(name) && name.includes(typed.toLowerCase()) && name !== typed);
    this._list.replaceChildren(
      ...fits.map((name, i) => {
        const item = document.createElement("li");
        item.role = "option";
        item.id = `word-${i}`;
        item.textContent = name;
        item.onmousedown = (event) => {
          event.preventDefault();
          this._take(name);
        };
        return item;
      }),
    );
    this._active = -1;
    this._list.hidden = !fits.length;
    this._mark();
  }

  _key(event) {
    const items = [...this._list.children];
    if (event.key === "Escape") {
      this._close();
      this._field.blur();
    } else if (items.length && !this._list.hidden && ["ArrowDown", "ArrowUp"].includes(event.key)) {
      this._active = (this._active + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length;
      this._mark();
    } else if (["Enter", "Tab"].includes(event.key) && this._active >= 0) this._take(items[this._active].textContent);
    else return;
    event.preventDefault();
  }

  _take(name) {
    this._field.value = [...this._parts()[0], name].join(", ");
    this._complete();
    this._close();
  }

  _mark() {
    [...this._list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === this._active)));
    this._list.children[this._active]?.scrollIntoView({ block: "nearest" });
    this._field.setAttribute("aria-expanded", String(!this._list.hidden));
    if (this._active >= 0) this._field.setAttribute("aria-activedescendant", `word-${this._active}`);
    else this._field.removeAttribute("aria-activedescendant");
  }

  _close() {
    this._list.hidden = true;
    this._active = -1;
    this._mark();
  }
}
