"use strict";
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const status = document.getElementById("status");
  const announce = (text) => { status.textContent = text; };
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const storage = (key, value) => {
    try {
      if (value === undefined) return localStorage.getItem(key);
      localStorage.setItem(key, value);
    } catch { /* pages opened from a file may have no storage */ }
    return null;
  };

  // Theme: the system's until the reader chooses one.
  const theme = document.getElementById("theme");
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const labelTheme = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `Switch to the ${dark() ? "light" : "dark"} theme`); };
  const stored = storage("detbench-theme");
  if (stored === "dark" || stored === "light") document.documentElement.dataset.theme = stored;
  theme.hidden = false;
  labelTheme();
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    storage("detbench-theme", document.documentElement.dataset.theme);
    labelTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", labelTheme);

  // Models: the style sheet hides deselected models; the URL's hash stores them.
  const boxes = all(".models input");
  const hidden = /(?:^#|&)hide=([\d,]+)/.exec(location.hash);
  if (hidden) for (const number of hidden[1].split(",")) {
    const box = document.getElementById(`show-${number}`);
    if (box) box.checked = false;
  }
  for (const box of boxes) box.addEventListener("change", () => {
    const numbers = boxes.filter((other) => !other.checked).map((other) => other.id.slice(5));
    try { history.replaceState(null, "", numbers.length ? `#hide=${numbers.join(",")}` : "#"); } catch { /* not allowed for some file URLs */ }
    announce(`${boxes.length - numbers.length} of ${boxes.length} ${document.querySelector(".models legend").textContent.toLowerCase()} shown`);
  });

  // Tables: sort, search, copy.
  const text = (cell) => (cell.querySelector("bdi") || cell).textContent.trim().replace(/\s+/g, " ");
  const value = (cell) => cell.dataset.value;
  const textWithNotes = (cell) => [text(cell), ...all("small", cell).map((note) => note.textContent.trim().replace(/\s+/g, " "))].join(" ");
  const compare = (a, b, down) => {
    if (value(a) === undefined && value(b) === undefined) return text(a).localeCompare(text(b), undefined, { numeric: true }) * (down ? -1 : 1);
    const [x, y] = [a, b].map((cell) => value(cell) ? Number(value(cell)) : NaN);
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return down ? y - x : x - y;
  };
  const sortable = (table) => {
    const heads = all("thead th", table);
    const body = table.tBodies[0];
    const first = [...body.rows];
    if (first.length < 2) return;
    heads.forEach((head, at) => {
      const button = make("button", "", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const next = { none: at ? "descending" : "ascending", ascending: at ? "none" : "descending", descending: at ? "ascending" : "none" }[before || "none"];
        for (const other of heads) other.removeAttribute("aria-sort");
        if (next !== "none") head.setAttribute("aria-sort", next);
        const rows = next === "none" ? first : [...first].sort((a, b) => compare(a.cells[at], b.cells[at], next === "descending"));
        body.append(...rows);
        announce(next === "none" ? "Original order" : `Sorted by ${text(head)}, ${next}`);
      });
    });
  };
  const isVisible = (element) => element.getClientRects().length > 0;
  const values = (table) => [table.tHead.rows[0], ...table.tBodies[0].rows]
    .filter((row) => !row.hidden && isVisible(row))
    .map((row) => [...row.cells].filter(isVisible).map((cell) => value(cell) || text(cell)));
  const texts = (table) => [table.tHead.rows[0], ...table.tBodies[0].rows]
    .filter((row) => !row.hidden && isVisible(row))
    .map((row) => [...row.cells].filter(isVisible).map(textWithNotes));
  const csv = (table) => values(table).map((row) => row.map((cell) => {
    const safe = /^[=+\-@\t\r\n]/.test(cell) && Number.isNaN(Number(cell)) ? `'${cell}` : cell;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }).join(",")).join("\n") + "\n";
  const markdown = (table) => {
    const [head, ...rows] = texts(table).map((row) => row.map((cell) => cell.replace(/[\\|`*_<>[\]]/g, "\\$&")));
    const rule = head.map((_, at) => at ? "---:" : "---");
    return [head, rule, ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n") + "\n";
  };
  const latex = (table) => {
    const signs = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "–": "--", "\u202f": "\\,", "±": "$\\pm$" };
    const safe = (cell) => cell.replace(/[\\~^−–±\u202f&%$#_{}]/g, (sign) => signs[sign] || `\\${sign}`);
    const [head, ...rows] = texts(table).map((row) => `${row.map(safe).join(" & ")} \\\\`);
    const columns = `l${"r".repeat(texts(table)[0].length - 1)}`;
    return `\\begin{tabular}{${columns}}\n\\toprule\n${head}\n\\midrule\n${rows.join("\n")}\n\\bottomrule\n\\end{tabular}\n`;
  };
  const copy = async (content, what) => {
    try {
      await navigator.clipboard.writeText(content);
    } catch {
      const area = make("textarea", content, { class: "unseen" });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    announce(`Table copied as ${what}`);
  };
  for (const holder of all(".table")) {
    const table = holder.querySelector("table");
    const tools = make("div", "", { class: "tools" });
    if (table.hasAttribute("data-search")) {
      const label = make("label", "Search ", { class: "search" });
      const field = make("input", "", { type: "search" });
      label.append(field);
      field.addEventListener("input", () => {
        const query = field.value.trim().toLocaleLowerCase();
        const rows = [...table.tBodies[0].rows];
        for (const row of rows) row.hidden = !row.textContent.toLocaleLowerCase().includes(query);
        announce(`${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`);
      });
      holder.prepend(label);
    }
    const group = make("span", "Copy as ");
    group.id = `${table.id}-copy`;
    tools.append(group);
    for (const [what, write] of [["CSV", csv], ["Markdown", markdown], ["LaTeX", latex]]) {
      const button = make("button", what, { type: "button", "aria-describedby": group.id });
      button.addEventListener("click", () => copy(write(table), what));
      tools.append(button);
    }
    holder.append(tools);
    sortable(table);
  }

  // Gallery: an image at full size under all models; arrow keys move, Esc closes.
  const shots = all(".shot");
  if (shots.length && window.HTMLDialogElement) {
    const dialog = make("dialog", "", { "aria-label": "Image at full size" });
    const steps = make("div", "", { class: "steps" });
    const place = make("span", "", { role: "status" });
    const content = make("div", "");
    let at = 0;
    const show = (next) => {
      at = (next + shots.length) % shots.length;
      const clone = shots[at].cloneNode(true);
      for (const button of all("button", clone)) button.remove();
      content.replaceChildren(clone);
      place.textContent = `Image ${at + 1} of ${shots.length}`;
    };
    const button = (label, act) => {
      const made = make("button", label, { type: "button" });
      made.addEventListener("click", act);
      return made;
    };
    steps.append(place, button("Previous", () => show(at - 1)), button("Next", () => show(at + 1)), button("Close", () => dialog.close()));
    dialog.append(steps, content);
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowRight") show(at + 1);
      else if (event.key === "ArrowLeft") show(at - 1);
      else return;
      event.preventDefault();
    });
    dialog.addEventListener("close", () => shots[at].querySelector("button").focus());
    document.getElementById("gallery").append(dialog);
    shots.forEach((shot, number) => {
      shot.querySelector("h4").append(button("Enlarge", () => { show(number); dialog.showModal(); }));
    });
  }

  // Sample images of a data set: those of one class and split.
  const chooser = document.getElementById("sample-chooser");
  if (chooser) {
    const [ofClass, ofSplit] = all("select", chooser);
    const update = () => {
      for (const shot of shots) shot.hidden = !(!ofClass.value || shot.dataset.classes.split(" ").includes(ofClass.value)) || !(!ofSplit.value || shot.dataset.split === ofSplit.value);
      announce(`${shots.filter((shot) => !shot.hidden).length} of ${shots.length} images shown`);
    };
    ofClass.addEventListener("change", update);
    ofSplit.addEventListener("change", update);
    chooser.hidden = false;
  }

  // Score threshold: the table and the cursors of the figures follow the slider; the page holds the counts.
  const payload = JSON.parse(document.getElementById("payload")?.textContent || "{}");
  const slider = document.getElementById("slider");
  if (slider && payload.thresholds) {
    const { scores, classes, positives, models } = payload.thresholds;
    const table = document.getElementById("thresholds-table");
    const caption = table.querySelector("caption span");
    const before = { caption: caption.textContent, cells: new Map(all("tbody td", table).map((cell) => [cell, [[...cell.childNodes], cell.dataset.value]])) };
    const range = document.getElementById("slider-score");
    const choice = document.getElementById("slider-class");
    const output = document.getElementById("slider-value");
    ["All classes", ...classes].forEach((label, at) => choice.append(make("option", label, { value: at })));
    choice.parentElement.hidden = classes.length < 2;
    const cursors = all('[data-hook="cursor-0"]').map((group) => {
      const x = (name) => Number(/M\s*([-\d.]+)/.exec(group.ownerSVGElement.querySelector(`[data-hook="${name}"] path`).getAttribute("d"))[1]);
      return { group, width: x("cursor-1") - x("cursor-0") };
    });
    const move = (part) => {
      for (const { group, width } of cursors) {
        group.setAttribute("transform", `translate(${part * width} 0)`);
        group.querySelector("path").style.strokeOpacity = part === null ? 0 : 1;
      }
    };
    const set = (cell, number, digits, points) => {
      const known = Number.isFinite(number);
      cell.dataset.value = known ? number / points : "";
      cell.replaceChildren(known ? number.toFixed(digits) : "–");
    };
    const update = () => {
      const at = Number(range.value);
      const label = Number(choice.value);
      const score = scores[at];
      for (const row of table.tBodies[0].rows) {
        const { runs, tp, fp } = models[Number(row.dataset.series)];
        const t = tp[label][at] / runs;
        const f = fp[label][at] / runs;
        const n = positives[label];
        const values = [score, 100 * t / (t + f), 100 * t / n, 200 * t / (t + f + n), t, f, n - t];
        const digits = [3, 1, 1, 1, ...Array(3).fill(runs > 1 ? 1 : 0)];
        values.forEach((value, cell) => set(row.cells[cell + 1], value, digits[cell], cell > 0 && cell < 4 ? 100 : 1));
      }
      output.textContent = score.toFixed(3);
      range.setAttribute("aria-valuetext", score.toFixed(3));
      caption.textContent = `All models at score threshold ${score.toFixed(3)}, ${label ? classes[label - 1] : "all classes"}, IoU 0.50`;
      move(at / (scores.length - 1));
    };
    const reset = () => {
      for (const [cell, [content, number]] of before.cells) { cell.replaceChildren(...content); cell.dataset.value = number; }
      caption.textContent = before.caption;
      output.textContent = "highest F1";
      choice.value = 0;
      move(null);
    };
    const best = models[0].best[0] ?? 0.5;
    range.value = scores.findLastIndex((score) => score <= best);
    range.addEventListener("input", update);
    choice.addEventListener("change", update);
    document.getElementById("slider-best").addEventListener("click", reset);
    reset();
    slider.hidden = false;
  }

  // Download: all tables, and the counts of the slider.
  const contents = () => {
    const table = (each) => ({
      caption: text(each.caption),
      columns: [...each.tHead.rows[0].cells].map(text),
      rows: [...each.tBodies[0].rows].map((row) => [...row.cells].map((cell) => value(cell) ? { value: Number(value(cell)), text: textWithNotes(cell) } : textWithNotes(cell))),
    });
    return { title: document.title, tables: Object.fromEntries(all(".table table").map((each) => [each.id, table(each)])), ...payload };
  };
  const save = make("button", "Download all tables as JSON", { type: "button" });
  save.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([JSON.stringify(contents())], { type: "application/json" }));
    make("a", "", { href: address, download: "report.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    announce("Tables saved as report.json");
  });
  document.querySelector("footer").append(save);

  // Print: open all collapsed parts, and close them afterwards.
  let opened = [];
  addEventListener("beforeprint", () => { opened = all("details:not([open])"); for (const one of opened) one.open = true; });
  addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
})();
