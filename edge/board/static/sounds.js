// What a scan sounds like beside its gun. Each kind has a pitch and a rhythm of its own, so that it is known
// without a look at the screen: one is enough to tell them apart, the other helps where a hall is loud.
"use strict";

// Of each tone: Hz, begin and length in seconds. No two kinds share a pitch or a count of tones in that pitch.
const SOUNDS = {
  accepted: { shape: "sine", tones: [[880, 0, 0.1], [1320, 0.1, 0.18]] },
  refused: { shape: "square", tones: [[165, 0, 0.2], [165, 0.28, 0.2], [165, 0.56, 0.3]] },
  duplicate: { shape: "triangle", tones: [[587, 0, 0.12], [587, 0.22, 0.12]] },
  ask: { shape: "triangle", tones: [[440, 0, 0.13], [554, 0.16, 0.13], [659, 0.32, 0.13], [740, 0.48, 0.2]] },
  note: { shape: "sine", tones: [[294, 0, 0.45]] },
};
const LOUD = { sine: 0.9, triangle: 0.9, square: 0.35 };
const EDGE_S = 0.008; // without a slope a tone begins and ends with a click

function soundLength(kind) {
  return Math.max(...SOUNDS[kind].tones.map(([, begin, length]) => begin + length));
}

function schedule(context, kind, at) {
  const { shape, tones } = SOUNDS[kind];
  for (const [pitch, begin, length] of tones) {
    const tone = new OscillatorNode(context, { type: shape, frequency: pitch });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setValueAtTime(0, at + begin);
    gain.gain.linearRampToValueAtTime(LOUD[shape], at + begin + EDGE_S);
    gain.gain.setValueAtTime(LOUD[shape], at + begin + length - EDGE_S);
    gain.gain.linearRampToValueAtTime(0, at + begin + length);
    tone.connect(gain).connect(context.destination);
    tone.start(at + begin);
    tone.stop(at + begin + length);
  }
}

let context = null; // a browser gives no sound before a person has touched the page

async function unmute() {
  context ??= new AudioContext();
  await context.resume();
  return context.state === "running";
}

function hasSound() {
  return context !== null && context.state === "running";
}

function play(kind) {
  if (hasSound()) schedule(context, kind, context.currentTime);
}
