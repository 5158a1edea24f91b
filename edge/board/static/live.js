// What the board's pages share: they place what /events says. Every text is written by textContent, so a
// label that looks like markup stays a text; durations run on between two snapshots.
"use strict";

const CUT_MS = 6000; // a snapshot comes every second or two; without one for so long all is old
const AGAIN_MS = 3000;

const body = document.body;
const notice = document.getElementById("cut");
const running = new Map(); // element of a timer -> [seconds, when it was told]
let fresh = performance.now(); // when the newest snapshot came
let contact = fresh; // when anything came

function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 100) return `${whole} s`;
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600) % 24;
  const days = Math.floor(whole / 86400);
  if (!hours && !days) return `${minutes}:${two(whole % 60)}`;
  const clock = `${hours}:${two(minutes)}:${two(whole % 60)}`;
  return days ? `${days} d ${clock}` : clock;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// `agent.words` names a value inside a value.
function find(values, path) {
  return path.split(".").reduce((value, key) => value[key], values);
}

function place(root, values, seconds) {
  for (const element of root.querySelectorAll("[data-slot]")) {
    write(element, String(find(values, element.dataset.slot)));
  }
  for (const element of root.querySelectorAll("[data-timer]")) {
    running.set(element, [find(seconds, element.dataset.timer), fresh]);
  }
}

function tick() {
  for (const [element, [seconds, told]] of running) {
    const { before, after, missing } = element.dataset;
    const now = seconds === null ? null : seconds + (performance.now() - told) / 1000;
    write(element, now === null ? missing : before + span(now) + after);
  }
}

// What every page shows: whose board it is, and how the agent is. False: the page is another one by now.
function showHead(now) {
  if (now.page !== body.dataset.page) {
    location.reload();
    return false;
  }
  fresh = performance.now();
  body.dataset.agent = now.agent.state;
  place(document.querySelector("header"), now, now);
  write(document.getElementById("journal"), now.journal);
  return true;
}

// Without a fresh snapshot nothing on the page may look alive.
function watch() {
  const old = performance.now() - fresh;
  const cut = old > CUT_MS;
  body.classList.toggle("cut", cut);
  if (cut) {
    const why = performance.now() - contact > CUT_MS ? "No contact with the board" : "The board has no news";
    write(notice, `${why} for ${span(old / 1000)}. What you see is old.`);
  } else {
    write(notice, "");
    tick();
  }
}

function listen(show) {
  const events = new EventSource("/events");
  events.onmessage = (event) => {
    contact = performance.now();
    show(JSON.parse(event.data));
  };
  events.addEventListener("beat", () => {
    contact = performance.now();
  });
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(() => listen(show), AGAIN_MS);
  };
}

function start(show) {
  listen(show);
  setInterval(watch, 250);
}
