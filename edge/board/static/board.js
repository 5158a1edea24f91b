// The line's page: a card for each station, and at the foot the sources and sinks.
"use strict";

function showStation(article, station) {
  place(article, station.words, station);
  article.dataset.kind = station.kind;
  article.dataset.trouble = station.trouble ? "yes" : "no";
  article.querySelector(".hero").dataset.size = Math.min(station.words.size, 16);
  article.querySelector(".unassigned").dataset.has = station.words.unassigned ? "yes" : "no";
  article.querySelector(".held").dataset.has = station.words.held ? "yes" : "no";
  const meter = article.querySelector("progress");
  meter.max = station.quantity || 1;
  meter.value = station.quantity ? Math.max(0, station.good) : 0;
}

function show(now) {
  if (!showHead(now)) return;
  now.stations.forEach((one, index) => showStation(document.querySelector(`[data-station="${index}"]`), one));
  for (const kind of ["source", "sink"]) {
    now[`${kind}s`].forEach((one, index) => {
      const item = document.querySelector(`[data-${kind}="${index}"]`);
      item.dataset.trust = one.trust;
      place(item, one, one);
    });
  }
}

start(show);
