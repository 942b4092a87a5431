"use strict";

const TOGETHER = 16; // images in one request: what is known soon is shown soon
const TRIES = 30;
const FORMULA = /^[=+\-@\t\r]/; // a spreadsheet would compute it
const by = (id) => document.getElementById(id);
const rows = [];
let model = null;
let token = ""; // kept by this page alone, as long as it is open
let working = Promise.resolve();

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  for (let tried = 1; ; tried++) {
    const answer = await fetch(path, { ...options, headers });
    if (answer.status !== 503 || tried === TRIES) return answer;
    const seconds = Number(answer.headers.get("Retry-After")) || 1;
    await new Promise((done) => setTimeout(done, 1000 * seconds));
  }
}

async function reason(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `the server answers ${answer.status}`;
  }
}

async function begin() {
  const answer = await ask("/model");
  by("ask").hidden = answer.status !== 401;
  if (answer.status === 401) {
    if (token) by("state").textContent = "This token is not the server's.";
    by("token").focus();
    return;
  }
  if (!answer.ok) throw new Error(await reason(answer));
  model = await answer.json();
  const decision = model.decision;
  const rule = decision.positive_classes.length
    ? ` · ${decision.positive_classes.join(", ")} from ${percent(decision.thresholds[decision.chosen])}`
    : "";
  by("model").textContent = `${model.backbone} · ${decision.class_names.join(", ")}${rule}`;
  if (model.synthetic_notice) by("synthetic").textContent = `Synthetic: ${model.synthetic_notice}`;
  if (!model.knows_range) by("kept").textContent += " This model cannot tell images unlike those it was trained on.";
  by("work").hidden = false;
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;

function take(files) {
  const taken = [...files];
  working = working.then(() => predictAll(taken)).catch((error) => { by("state").textContent = String(error.message || error); });
}

async function predictAll(files) {
  let done = 0;
  for (const part of parts(files)) {
    by("state").textContent = `${done} of ${files.length} done …`;
    const form = new FormData();
    for (const file of part) form.append("images", file, file.name);
    let told;
    try {
      const answer = await ask("/invocations", { method: "POST", body: form });
      told = answer.ok ? (await answer.json()).predictions : null;
      if (!told) {
        const why = await reason(answer);
        told = part.map((file) => ({ name: file.name, error: why, warnings: [] }));
      }
    } catch {
      told = part.map((file) => ({ name: file.name, error: "the server does not answer", warnings: [] }));
    }
    part.forEach((file, number) => add(file, told[number]));
    done += part.length;
  }
  by("state").textContent = "";
}

function parts(files) {
  const found = [];
  let bytes = Infinity;
  for (const file of files) {
    const last = found.at(-1);
    // An image that is too large goes alone, so that it costs no other.
    if (!last || last.length === TOGETHER || bytes + file.size > 0.9 * model.limits.most_body_bytes) {
      found.push([file]);
      bytes = file.size;
    } else {
      last.push(file);
      bytes += file.size;
    }
  }
  return found;
}

function add(file, row) {
  rows.push(row);
  const item = element("li");
  item.append(picture(file));
  const words = element("div");
  if (row.error) {
    item.classList.add("error");
    words.append(element("h2", "Cannot be used"), element("p", row.name, "name"), element("p", row.error, "said"));
  } else {
    describe(item, words, row);
  }
  item.append(words);
  if (!row.error) item.append(explainer(file, row));
  by("cells").append(item);
  by("results").hidden = false;
  count();
}

function describe(item, words, row) {
  const ill = model.decision.positive_classes.includes(row.decision) || row.decision === "ill";
  const title = element("h2");
  title.append(element("span", row.decision, ill ? "ill" : ""));
  if (ill) item.classList.add("ill");
  words.append(title, element("p", row.name, "name"));
  const list = element("dl");
  for (const [name, value] of Object.entries(row.probabilities)) {
    const bar = element("progress");
    bar.max = 1;
    bar.value = value;
    bar.setAttribute("aria-label", name);
    const of_bar = element("dd");
    of_bar.append(bar);
    list.append(element("dt", name), of_bar, element("dd", percent(value)));
  }
  words.append(list);
  if (row.refer) {
    item.classList.add("refer");
    words.append(element("p", "Refer: a person should look at this cell.", "said"));
  }
  for (const warning of row.warnings) words.append(element("p", `Warning: ${warning}.`, "said"));
}

function picture(file) {
  const image = element("img");
  image.alt = "";
  image.src = URL.createObjectURL(file);
  image.onload = () => URL.revokeObjectURL(image.src);
  image.onerror = () => image.replaceWith(element("span", "no preview", "blank"));
  return image;
}

function count() {
  const of_decisions = new Map();
  for (const row of rows) {
    const key = row.error ? "cannot be used" : row.decision;
    of_decisions.set(key, (of_decisions.get(key) || 0) + 1);
  }
  const counted = [...of_decisions].map(([name, number]) => `${number} ${name}`).join(", ");
  const refer = rows.filter((row) => row.refer).length;
  by("counts").textContent = `${rows.length} images: ${counted}; refer ${refer}.`;
}

function explainer(file, row) {
  const button = element("button", "Heat map");
  button.type = "button";
  button.onclick = async () => {
    button.disabled = true;
    try {
      const headers = { "Content-Type": "application/octet-stream" };
      const answer = await ask("/explain", { method: "POST", body: file, headers });
      if (!answer.ok) throw new Error(await reason(answer));
      await show(await answer.json(), row);
    } catch (error) {
      by("state").textContent = String(error.message || error);
    } finally {
      button.disabled = false;
    }
  };
  return button;
}

async function show(explained, row) {
  const image = new Image();
  image.src = `data:image/png;base64,${explained.image}`;
  await image.decode();
  const canvas = by("map-picture");
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  const drops = explained.drops;
  const most = Math.max(...drops.flat().map(Math.abs), 1e-9);
  const small = new OffscreenCanvas(drops.length, drops.length);
  const points = small.getContext("2d");
  drops.forEach((line, y) => line.forEach((drop, x) => {
    const strength = Math.abs(drop) / most;
    points.fillStyle = drop > 0 ? `rgb(230 40 30 / ${0.65 * strength})` : `rgb(40 90 220 / ${0.65 * strength})`;
    points.fillRect(x, y, 1, 1);
  }));
  pen.imageSmoothingEnabled = true;
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
  by("map-title").textContent = `${row.name}: ${explained.called}, ${percent(explained.probabilities[explained.called])}`;
  by("map-scale").textContent = `Strongest: covering it changes the probability by ${percent(most)}.`;
  by("map").showModal();
}

function table() {
  const names = model.decision.class_names;
  const quoted = (value) => {
    let text = value === null || value === undefined ? "" : String(value);
    if (typeof value === "string" && FORMULA.test(text)) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [["name", ...names.map((name) => `probability_${name}`), "called", "decision", "refer", "warnings", "error",
    "model", "notice"]];
  const notice = [model.notice, model.synthetic_notice].filter(Boolean).join(" ");
  for (const row of rows) {
    const values = names.map((name) => (row.probabilities ? row.probabilities[name] : ""));
    lines.push([row.name, ...values, row.called, row.decision, row.refer, row.warnings.join("; "), row.error,
      model.digests.model, notice]);
  }
  return lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}

by("download").onclick = () => {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", table()], { type: "text/csv" }));
  link.download = "cells.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};
by("ask").onsubmit = (event) => {
  event.preventDefault();
  token = by("token").value.trim();
  begin().catch((error) => { by("state").textContent = String(error.message || error); });
};
by("files").onchange = (event) => { take(event.target.files); event.target.value = ""; };
for (const name of ["dragover", "dragleave", "drop"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    by("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && model) take(event.dataTransfer.files);
  });
}
begin().catch((error) => { by("model").textContent = String(error.message || error); });
