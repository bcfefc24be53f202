"use strict";
// The page: asks /state twice a second and shows it. Whatever comes from labels is set as text, never as markup.

const POLL_MS = 500, ANSWER_MS = 4000, GAP_MS = 5000, STREAM_GRACE_MS = 3000, STILL_MS = 1000, STILLS = 15;
const SAMPLES = 120, CHANGES = 50, SHOWN_ANSWERS = 12, FEW_ITEMS = 12;
const STRANGE = "unlike all it was trained on";
const viewer = Math.floor(Math.random() * 1e9) + 1;
const $ = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(share * 100)} %`;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let about = null, state = null, heardAt = 0, sliding = false, harvested = -1;
const known = { changes: 0, chart: 0 }, samples = [], changes = [];

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

// Setting what is set already would wake screen readers and lay the page out again.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A label may be broken behind its _ and -, where there is no blank.
function setLabel(element, text) {
  if (element.textContent === text) return;
  const parts = text.match(/[^_-]*[_-]|[^_-]+/g) || [];
  element.replaceChildren(...parts.flatMap((part) => [part, make("wbr")]));
}

function label(text) {
  const element = make("bdi");
  setLabel(element, text);
  element.title = text;
  return element;
}

function show(id, visible) {
  $(id).hidden = !visible;
}

async function ask(path, body, milliseconds = ANSWER_MS) {
  const stop = new AbortController(), timer = setTimeout(() => stop.abort(), milliseconds);
  const options = { signal: stop.signal };
  if (body !== undefined) {
    const raw = body instanceof Blob;
    options.method = "POST";
    options.headers = { "Content-Type": raw ? body.type || "application/octet-stream" : "application/json" };
    options.body = raw ? body : JSON.stringify(body);
  }
  try {
    const reply = await fetch(path, options);
    if (reply.status === 401) location.assign("login");
    const record = await reply.json().catch(() => ({}));
    if (!reply.ok) {
      const error = new Error(record.error || `${reply.status} ${reply.statusText}`);
      error.isGone = reply.status === 404;
      throw error;
    }
    return record;
  } finally {
    clearTimeout(timer);
  }
}

let toastTimer = 0;
function toast(text) {
  setText($("toast"), text);
  show("toast", true);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => show("toast", false), 5000);
}

async function attempt(work, button) {
  if (button) button.disabled = true;
  try {
    return await work();
  } catch (error) {
    toast(error.name === "AbortError" || error instanceof TypeError ? "No answer from the device." : error.message);
    return undefined;
  } finally {
    if (button) button.disabled = false;
  }
}

// The live picture. A stream that has ended is not told of by the browser: the server says whether it still sends.

const picture = $("picture");
let mode = "none", turn = 0, turnedAt = 0, stills = 0;

function turnTo(next) {
  mode = next;
  turnedAt = performance.now();
  if (next === "none") picture.removeAttribute("src");
  else picture.src = next === "stream" ? `stream.mjpg?viewer=${viewer}&turn=${++turn}` : `snapshot.jpg?turn=${++turn}`;
}

picture.addEventListener("error", () => {
  if (mode === "stream") stills = STILLS; // all streams are taken: single pictures for a while
});

function watch(wasAway) {
  const since = performance.now() - turnedAt;
  if (document.hidden || !state.answer) {
    if (mode !== "none") turnTo("none");
  } else if (stills > 0) {
    if (since > STILL_MS) turnTo(--stills ? "still" : "stream");
  } else if (mode !== "stream" || wasAway || (!state.watching && since > STREAM_GRACE_MS)) {
    turnTo("stream");
  }
}

// What is shown of the state.

function sourceTrouble(source) {
  const ago = source.seconds < 90 ? `${Math.round(source.seconds)} s` : `${Math.round(source.seconds / 60)} min`;
  const why = source.error ? ` (${source.error})` : "";
  if (source.state === "lost") return `Camera lost ${ago} ago, trying again${why}`;
  if (source.state === "opening") return `Waiting for the camera${why}`;
  if (source.state === "ended") return "The source has ended";
  return "";
}

function showTrouble(text, isWarning) {
  setText($("banner"), text);
  $("banner").classList.toggle("warn", isWarning);
  show("banner", text !== "");
}

function showPill(text, kind) {
  setText($("pill"), text);
  $("pill").className = `pill ${kind}`;
}

function showSource() {
  if (!about.live) {
    showTrouble("", false);
    return showPill("ready", "good");
  }
  const trouble = sourceTrouble(state.source), name = state.source.state;
  showTrouble(trouble, name !== "lost");
  showPill({ running: "live", lost: "camera lost", opening: "waiting", ended: "ended" }[name] || name,
    { running: "good", lost: "bad" }[name] || "warn");
  $("frame").classList.toggle("stale", name !== "running");
  setText($("veil"), state.answer ? "" : trouble || "Waiting for the first picture");
  show("veil", !state.answer);
  return undefined;
}

function showBars(list, top, limit) {
  while (list.children.length > top.length) list.lastChild.remove();
  top.forEach((each, place) => {
    let row = list.children[place];
    if (!row) {
      row = make("li");
      row.append(make("i"), make("b"), make("bdi"), make("span"));
      list.append(row);
    }
    row.children[0].style.width = `${each.probability * 100}%`;
    row.children[1].style.width = `${limit * 100}%`;
    row.children[1].hidden = !limit;
    setLabel(row.children[2], each.label);
    row.children[2].title = each.label;
    setText(row.children[3], percent(each.probability));
  });
}

function showAnswer(answer) {
  const limit = state.unknown_below || 0, none = answer.objects && !answer.label;
  setLabel($("answer-label").firstElementChild, none ? "nothing there" : answer.label);
  setText($("answer-share"), none ? "no object found" : answer.novel ? STRANGE : answer.unknown ? "nothing is likely enough" : `${percent(answer.probability)} likely`);
  $("answer-label").classList.toggle("unknown", answer.unknown);
  showBars($("top"), answer.objects || answer.top, limit);
  const counted = Object.entries(answer.counted || {}).sort((one, other) => other[1] - one[1]);
  show("counted", counted.length > 0);
  const texts = counted.map(([label, count]) => `${count} × ${label}`);
  if (texts.join("\n") !== [...$("counts").children].map((each) => each.textContent).join("\n")) {
    $("counts").replaceChildren(...texts.map((text) => make("li", text)));
  }
  const [width, height] = answer.size, roi = answer.roi;
  $("frame").style.aspectRatio = `${width} / ${height}`;
  $("frame").style.maxWidth = `calc(76vh * ${width / height})`;
  show("roi", Boolean(roi));
  if (roi) {
    const sides = { left: roi[0] / width, top: roi[1] / height, width: roi[2] / width, height: roi[3] / height };
    for (const [side, share] of Object.entries(sides)) $("roi").style[side] = `${share * 100}%`;
  }
}

function showSlider() {
  if (!sliding) $("slider").value = Math.round(state.unknown_below * 100);
  setText($("slider-value"), `${$("slider").value} %`);
  $("slider").setAttribute("aria-valuetext", `${$("slider").value} per cent`);
}

function roundUp(value) {
  const step = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return step * [1, 2, 5, 10].find((times) => times * step >= value);
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// One second a step, the newest at the right; seconds without a value are gaps.
function drawChart(figure, values, unit, what) {
  const limit = roundUp(Math.max(1, ...values.filter((value) => value !== null)));
  const at = (value) => (60 - (value / limit) * 58).toFixed(1);
  let line = "", area = "", begun = null, x = SAMPLES - values.length;
  for (const value of [...values, null]) {
    if (value === null && begun !== null) {
      area += `L${x - 1} 60L${begun} 60Z`;
      begun = null;
    } else if (value !== null) {
      const step = `${begun === null ? "M" : "L"}${x} ${at(value)}`;
      line += step;
      area += step;
      if (begun === null) begun = x;
    }
    x += 1;
  }
  const last = values.length ? values[values.length - 1] : null;
  const now = last === null ? "–" : `${last >= 100 ? Math.round(last) : last.toFixed(1)} ${unit}`;
  const chart = svg("svg", { viewBox: `0 0 ${SAMPLES - 1} 60`, preserveAspectRatio: "none", role: "img" });
  chart.setAttribute("aria-label", `${what}, the last two minutes; now ${now}`);
  for (const y of [2, 31, 60]) chart.append(svg("path", { class: "grid", d: `M0 ${y}H${SAMPLES - 1}` }));
  chart.append(svg("path", { class: "area", d: area }), svg("path", { class: "line", d: line }));
  const head = make("p", undefined, "now"), ends = make("p", undefined, "ends muted");
  head.append(make("span", now), make("span", `0 to ${limit} ${unit}`, "muted"));
  ends.append(make("span", "2 minutes ago"), make("span", "now"));
  figure.replaceChildren(head, chart, ends);
}

function showCharts() {
  const news = state.chart.items;
  if (known.chart > state.chart.next) samples.length = 0;
  known.chart = state.chart.next;
  if (!news.length && $("rate-chart").firstChild) return;
  samples.push(...news);
  samples.splice(0, samples.length - SAMPLES);
  drawChart($("rate-chart"), samples.map((each) => each[0]), "/s", "Frames a second");
  drawChart($("age-chart"), samples.map((each) => each[1]), "ms", "Milliseconds from picture to answer");
}

function showChanges() {
  if (known.changes > state.changes.next) changes.length = 0;
  known.changes = state.changes.next;
  if (!state.changes.items.length) return;
  for (const each of state.changes.items) {
    const row = make("li", undefined, each.unknown ? "unknown" : ""), when = new Date(Date.now() - each.seconds_ago * 1000);
    row.append(make("time", when.toLocaleTimeString()), label(each.label || "nothing there"));
    row.append(make("span", each.label ? percent(each.probability) : "", "muted"));
    changes.unshift(row);
  }
  changes.splice(CHANGES);
  $("changes").replaceChildren(...changes);
}

function showMachine() {
  const machine = state.machine, tiles = [], number = (value) => value.toLocaleString("en");
  const clock = (mhz, most) => (most ? `${Math.round(mhz)} of ${Math.round(most)} MHz` : `${Math.round(mhz)} MHz`);
  const add = (name, text, warns) => tiles.push([name, text, warns]);
  const has = (name) => machine[name] !== undefined;
  if (has("temperature_c")) add("Temperature", `${machine.temperature_c.toFixed(0)} °C`, machine.temperature_c >= 85);
  if (machine.throttled_by.length) add("Slowed down by heat", machine.throttled_by.join(", "), true);
  if (has("power_w")) add("Power", `${machine.power_w.toFixed(1)} W`);
  if (has("power_mode")) add("Power mode", machine.power_mode);
  if (has("cpu_mhz")) add("CPU clock", clock(machine.cpu_mhz, machine.cpu_max_mhz));
  if (has("gpu_mhz")) add("GPU clock", clock(machine.gpu_mhz, machine.gpu_max_mhz));
  if (has("gpu_load_percent")) add("GPU load", `${machine.gpu_load_percent.toFixed(0)} %`);
  if (has("fan_percent")) add("Fan", `${machine.fan_percent.toFixed(0)} %`);
  if (!tiles.length) add("Sensors", "none told here");
  if (about.live) {
    add("Frames dropped", number(state.source.dropped));
    add("Camera came back", `${number(state.source.reopened)} ×`);
    if (state.output_losses) add("Outputs missed", number(state.output_losses), true);
  }
  $("tiles").replaceChildren(...tiles.map(([name, text, warns]) => {
    const tile = make("div", undefined, warns ? "warn" : "");
    tile.append(make("dt", name), make("dd", text));
    return tile;
  }));
}

// Capture: what the camera sees, or one frame of it, into class folders.

function classButtons(box, classes, guess, press) {
  const key = JSON.stringify([classes.map((each) => each.label), guess]);
  if (box.dataset.key !== key) {
    box.dataset.key = key;
    box.replaceChildren(...classes.map((each) => {
      const button = make("button", undefined, each.label === guess ? "guess" : "");
      button.type = "button";
      button.append(label(each.label), make("span"));
      button.addEventListener("click", () => press(each.label, button));
      return button;
    }));
  }
  classes.forEach((each, place) => setText(box.children[place].lastChild, String(each.count)));
}

function capture(name, button) {
  return attempt(async () => {
    const done = await ask("capture", { label: name }, 600000);
    state.classes = done.classes;
    showClasses();
    toast(`${name}: ${done.told}`);
  }, button);
}

function showClasses() {
  classButtons($("classes"), state.classes, null, capture);
}

$("new-class").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    state.classes = (await ask("classes", { label: $("new-class-name").value })).classes;
    $("new-class-name").value = "";
    showClasses();
  });
});

async function drawBlob(canvas, blob, side) {
  const bitmap = await createImageBitmap(blob), share = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.round(bitmap.width * share);
  canvas.height = Math.round(bitmap.height * share);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
}

async function snapshot(holds) {
  const reply = await fetch(`snapshot.jpg?hold=${holds ? 1 : 0}`);
  if (!reply.ok) throw new Error((await reply.json()).error);
  return { blob: await reply.blob(), sequence: Number(reply.headers.get("X-Sequence")) };
}

$("label-frame").addEventListener("click", (event) => attempt(async () => {
  // What is chosen for is this very picture, however long the choice takes.
  const { blob, sequence } = await snapshot(true);
  await drawBlob($("held"), blob, 960);
  show("choices", about.sorts);
  setText($("dialog-hint"), about.sorts
    ? "This picture goes into the class that you choose."
    : "There is no folder for it: start with --capture FOLDER, such as: legoclf camera --serve --capture photos");
  const save = (name, button) => attempt(async () => {
    const done = await ask("label", { label: name, sequence });
    state.classes = done.classes;
    showClasses();
    $("dialog").close();
    toast(`Saved as ${done.saved}`);
  }, button);
  if (about.sorts) classButtons($("choices"), state.classes, state.answer.label, save);
  $("choices").dataset.key = "";
  $("dialog").showModal();
}, event.currentTarget));

$("snapshot").addEventListener("click", (event) => attempt(async () => {
  const { blob, sequence } = await snapshot(false), link = make("a");
  link.href = URL.createObjectURL(blob);
  link.download = `frame-${sequence}.jpg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}, event.currentTarget));

// What was harvested, into class folders.

function harvestItem(item) {
  const row = make("li"), image = make("img"), said = make("p"), choice = make("select"), pair = make("div", undefined, "pair");
  const path = `harvest/${encodeURIComponent(item.id)}`;
  image.src = `${path}.jpg`;
  image.loading = "lazy";
  image.alt = `Harvested: ${item.label}`;
  said.append(label(item.label), make("span", percent(item.probability), "muted"));
  row.dataset.id = item.id;
  const sort = (body, button) => attempt(async () => {
    try {
      state.harvested = (await ask(path, body)).harvested;
      row.remove();
      watchHarvest();
    } catch (error) {
      if (error.isGone) row.remove();
      throw error;
    }
  }, button);
  const first = make("option", about.sorts ? "Sort into …" : "Start with --capture FOLDER");
  first.value = "";
  choice.append(first);
  choice.setAttribute("aria-label", "The class of this picture");
  choice.disabled = !about.sorts;
  for (const each of state.classes || []) choice.append(make("option", each.label));
  choice.addEventListener("change", () => choice.selectedIndex > 0 && sort({ label: state.classes[choice.selectedIndex - 1].label }, choice));
  const right = make("button", "Right"), away = make("button", "Discard");
  right.title = `It is: ${item.label}`;
  right.disabled = !(state.classes || []).some((each) => each.label === item.label);
  right.addEventListener("click", () => sort({ label: item.label }, right));
  away.addEventListener("click", () => sort({ discard: true }, away));
  for (const button of [right, away]) button.type = "button";
  pair.append(right, away);
  row.append(image, said, choice, pair);
  return row;
}

function harvestHint(count) {
  return count ? `${count} of which the model was not sure: choose what each shows.` : "Nothing yet: what the model is not sure of comes here.";
}

// What is new comes behind what is shown: nothing moves under a finger.
async function fetchHarvest() {
  const found = await ask("harvest"), shown = new Set([...$("items").children].map((row) => row.dataset.id));
  for (const item of found.items) if (!shown.has(item.id)) $("items").append(harvestItem(item));
  harvested = found.count;
  setText($("harvest-hint"), harvestHint(found.count));
}

function watchHarvest() {
  const shown = $("items").children.length;
  if (shown < Math.min(FEW_ITEMS, state.harvested) || harvested < 0) fetchHarvest().catch(() => { harvested = -1; });
  else setText($("harvest-hint"), harvestHint(state.harvested));
}

// Photos.

async function classify(file) {
  const row = make("li"), canvas = make("canvas"), list = make("ol", undefined, "bars"), name = make("p");
  name.append(label(file.name));
  row.append(canvas, name, list);
  const done = await attempt(async () => {
    const record = await ask("classify?top_k=3", file, 60000);
    await drawBlob(canvas, file, 480).catch(() => undefined);
    return record.images[0];
  });
  if (!done) return;
  name.replaceChildren(label(done.label), make("span", done.novel ? STRANGE : percent(done.probability), "muted"));
  canvas.title = file.name;
  showBars(list, done.top, state.unknown_below || 0);
  $("answers").prepend(row);
  while ($("answers").children.length > SHOWN_ANSWERS) $("answers").lastChild.remove();
}

async function classifyAll(files) {
  for (const file of files) await classify(file);
}

for (const id of ["files", "shot"]) {
  $(id).addEventListener("change", async () => {
    await classifyAll([...$(id).files]);
    $(id).value = "";
  });
}
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("upload").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") classifyAll([...event.dataTransfer.files]);
  });
}

// The slider.

let sending = false;
async function sendThreshold() {
  if (sending) return;
  sending = true;
  let sent = null;
  while (sent !== $("slider").value) {
    sent = $("slider").value;
    await attempt(() => ask("threshold", { unknown_below: sent / 100 }));
    await pause(100);
  }
  state.unknown_below = sent / 100;
  sliding = sending = false;
}
$("slider").addEventListener("input", () => {
  sliding = true;
  showSlider();
  sendThreshold();
});

// From beginning to end.

function showAbout() {
  document.title = `${about.title} · legoclf`;
  setText($("title").firstElementChild, about.title);
  setText($("description"), about.description);
  $("description").title = about.description;
  for (const id of ["live", "rate-card"]) show(id, about.live);
  show("age-card", about.live && about.classifies);
  document.body.classList.toggle("plain", !about.live);
  document.body.classList.toggle("takes", about.live && !about.classifies);
  show("answer", about.live && about.classifies);
  if (!about.live) $("upload").insertBefore($("threshold"), $("answers"));
  show("history", about.live && about.classifies);
  show("label-frame", !about.locates);
  show("capture", about.sorts && about.live);
  show("classes", about.captures);
  show("harvest", about.harvests);
  show("upload", about.classifies);
  setText($("capture-hint"), about.captures
    ? `Hold a thing before the camera and press its class: ${about.burst} pictures at a press; blurred ones and near-duplicates are left out.`
    : "A class of its own for what the model does not know.");
}

function showState(wasAway) {
  showSource();
  showMachine();
  if (state.unknown_below !== undefined) showSlider();
  if (about.sorts) showClasses();
  if (about.harvests) watchHarvest();
  if (!about.live) return;
  if (state.answer && about.classifies) showAnswer(state.answer);
  if (about.classifies) showChanges();
  showCharts();
  setText($("rates"), state.answer ? `frame ${state.answer.sequence.toLocaleString("en")}` : "");
  watch(wasAway);
}

async function look() {
  try {
    // Anew each time after a gap: another program may answer by now.
    const wasAway = performance.now() - heardAt > GAP_MS;
    if (!about || wasAway) {
      about = await ask("about");
      showAbout();
    }
    state = await ask(`state?changes=${known.changes}&chart=${known.chart}&viewer=${viewer}`);
    heardAt = performance.now();
    showState(wasAway);
  } catch (error) {
    if (error instanceof TypeError || error.name === "AbortError") {
      const seconds = Math.round((performance.now() - heardAt) / 1000);
      showTrouble(`No answer from the device${heardAt ? ` for ${seconds} s` : ""}`, false);
    } else {
      showTrouble(error.message, false);
    }
    showPill("no answer", "bad");
    $("frame").classList.add("stale");
  }
}

async function run() {
  for (;;) {
    if (document.hidden) {
      if (mode !== "none") turnTo("none");
    } else {
      await look();
    }
    await pause(POLL_MS);
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden && mode !== "none") turnTo("none");
});
run();
