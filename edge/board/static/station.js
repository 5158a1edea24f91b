// A station's screen: every scan is shown and heard, one after the other, and the newest one stays.
"use strict";

const APART_MS = 700; // from one scan to the next: less than two changes a second, and each sound ends
const OLD_S = 30; // a scan that is older is not the reader's own any more: it is shown in outline
const MOST = 12; // scans that wait to be shown; one more, and the oldest stays in the list below only

const panel = document.getElementById("scan");
const button = document.getElementById("sound");
const queue = [];
const heard = []; // for a look at what was played: kind and seq
let newest = Number(panel.dataset.seq); // seq of the newest scan that is shown or waits to be
let station = null; // as it was told last
let shown = null; // [scan, when it was told]
let busyUntil = 0;

function showScan(scan) {
  shown = [scan, fresh];
  panel.dataset.scan = scan.kind;
  panel.dataset.seq = scan.seq;
  write(document.getElementById("title"), scan.title);
  write(document.getElementById("said"), scan.words);
  write(document.getElementById("label"), scan.label);
  document.getElementById("said").dataset.long = scan.words.length > 60 ? "yes" : "no";
  showAges();
}

function announce(scan) {
  showScan(scan);
  panel.classList.remove("new");
  void panel.offsetWidth; // so that the second of two that are alike moves too
  panel.classList.add("new");
  heard.push([scan.kind, scan.seq]);
  if (heard.length > 100) heard.shift();
  play(scan.kind);
  busyUntil = performance.now() + Math.max(APART_MS, 1000 * soundLength(scan.kind) + 100);
}

function next() {
  if (queue.length && performance.now() >= busyUntil) announce(queue.shift());
}

function row(item, scan) {
  item.dataset.scan = scan ? scan.kind : "none";
  if (item.id !== "last") write(item.querySelector("b"), scan ? scan.title : "");
  write(item.querySelector(".what"), scan ? scan.words : "");
  write(item.querySelector(".age"), scan ? span(scan.age_s) : "");
}

function showBefore({ scans, accepted }) {
  const rows = document.querySelectorAll("#before li:not(#last)");
  rows.forEach((item, index) => row(item, scans[index + 1]));
  const told = accepted && scans.slice(0, rows.length + 1).some((one) => one.seq === accepted.seq);
  row(document.getElementById("last"), scans.length && !told ? accepted : null);
}

function showWaits({ waits, waits_s, waits_of_s }) {
  const section = document.getElementById("waits");
  section.dataset.has = waits ? "yes" : "no";
  section.querySelector("progress").max = waits_of_s || 1;
}

function showAges() {
  const since = (told) => (performance.now() - told) / 1000;
  if (shown !== null) {
    const age = shown[0].age_s + since(shown[1]);
    write(document.getElementById("age"), `${span(age)} ago`);
    panel.dataset.old = age >= OLD_S ? "yes" : "no";
  }
  if (station !== null && station.screen.waits_s !== null) {
    const left = station.screen.waits_s - since(fresh);
    write(document.getElementById("left"), span(left + 0.999));
    document.querySelector("#waits progress").value = Math.max(0, left);
    if (left <= 0) document.getElementById("waits").dataset.has = "no";
  } else {
    write(document.getElementById("left"), "");
  }
}

function show(now) {
  if (!showHead(now)) return;
  station = now.stations[Number(body.dataset.index)];
  place(body, { ...now, ...station }, { ...now, ...station });
  body.dataset.kind = station.kind;
  body.dataset.trouble = station.trouble ? "yes" : "no";
  const { scans, accepted } = station.screen;
  const unheard = scans.filter((one) => one.seq > newest).reverse();
  if (scans.length && scans[0].seq < newest) showScan(scans[0]); // another journal: what it has is old
  newest = scans.length ? scans[0].seq : newest;
  queue.push(...unheard);
  queue.splice(0, queue.length - MOST);
  const current = scans.find((one) => one.seq === Number(panel.dataset.seq)) ?? (scans.length ? null : accepted);
  if (current) shown = [current, fresh];
  showBefore(station.screen);
  showWaits(station.screen);
  next();
}

function showSound() {
  button.dataset.sound = hasSound() ? "on" : "off";
  write(button, hasSound() ? "sound on" : "no sound: tap here");
}

async function wake() {
  if (hasSound()) return;
  if (await unmute()) play("note"); // so that whoever taps hears how loud it is
  showSound();
}

document.addEventListener("pointerdown", wake);
document.addEventListener("keydown", wake);
if (new URLSearchParams(location.search).get("sound") === "on") unmute().then(showSound);
setInterval(next, 50);
setInterval(() => {
  showAges();
  showSound();
}, 250);
start(show);
