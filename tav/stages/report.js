"use strict";
const heard = (video, event) => new Promise((done) => {
  for (const name of [event, "error"]) video.addEventListener(name, done, { once: true });
});

// One clock for a source and its edits. They start together, wait for the last one at the end, and start again.
class Player {
  constructor(root) {
    this.fps = Number(root.dataset.fps);
    this.frames = Number(root.dataset.frames);
    this.all = [...root.querySelectorAll("video")];
    [this.button, this.range, this.output, this.speed] = ["button", "input", "output", "select"].map((s) => root.querySelector(".transport " + s));
    this.playing = this.paused = false; // paused: by a person
    this.turn = this.sought = 0;
    this.button.onclick = () => { this.paused = this.playing; this.playing ? this.stop() : this.play(); };
    this.range.oninput = () => { this.paused = true; this.stop(); this.show(Number(this.range.value)); };
    this.speed.onchange = () => { for (const v of this.all) v.playbackRate = Number(this.speed.value); };
    for (const v of this.all) v.onended = () => { if (this.playing && this.videos.every((w) => w.ended)) this.play(0); };
  }
  get videos() { return this.all.filter((v) => !v.error); }
  get time() { return Math.min(...this.videos.map((v) => v.currentTime)); }
  get frame() { return Math.min(this.frames - 1, Math.floor(this.time * this.fps + 0.01)); }
  async seek(time) {
    const sought = ++this.sought;
    await Promise.all(this.videos.map(async (v) => {
      if (v.readyState < 1) await heard(v, "loadedmetadata"); // before that a seek is not answered
      if (v.seeking) await heard(v, "seeked"); // a seek into a seek may leave the older picture
      if (v.error || sought !== this.sought) return;
      if (v.currentTime === time && !v.seeking && v.readyState > 1) return;
      v.currentTime = time;
      await heard(v, "seeked");
    }));
  }
  async show(frame) {
    this.say(frame);
    await this.seek((frame + 0.5) / this.fps);
  }
  async play(time = this.frame === this.frames - 1 ? 0 : this.frame / this.fps) {
    const turn = ++this.turn;
    this.playing = true;
    this.button.textContent = "Pause";
    for (const v of this.all) v.pause();
    await this.seek(time);
    await Promise.all(this.videos.map((v) => v.readyState > 2 || heard(v, "canplay")));
    if (turn !== this.turn) return;
    for (const v of this.videos) v.play().catch(() => {});
    requestAnimationFrame(() => this.follow(turn));
  }
  stop() {
    this.turn++;
    this.playing = false;
    this.button.textContent = "Play";
    for (const v of this.all) v.pause();
  }
  follow(turn) {
    if (turn !== this.turn) return;
    const slowest = this.time;
    for (const v of this.videos.filter((v) => !v.ended)) { // who is half a frame ahead waits
      const ahead = (v.currentTime - slowest) * this.fps;
      if (!v.paused && ahead > 0.5) v.pause();
      if (v.paused && ahead < 0.1) v.play().catch(() => {});
    }
    this.say(this.frame);
    requestAnimationFrame(() => this.follow(turn));
  }
  say(frame) {
    this.range.value = frame;
    this.range.setAttribute("aria-valuetext", `frame ${frame + 1} of ${this.frames}`);
    this.output.textContent = `${frame + 1} of ${this.frames}`;
  }
}

const players = new Map([...document.querySelectorAll(".player[data-fps]")].map((root) => [root, new Player(root)]));
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const all = document.querySelector("#all");
let run = !still;
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const player = players.get(target);
    player.seen = isIntersecting;
    if (isIntersecting && run && !player.paused && !player.playing) player.play();
    if (!isIntersecting && player.playing) player.stop();
  }
});
for (const root of players.keys()) seen.observe(root);
if (all) {
  const name = () => { all.textContent = run ? "Pause all" : "Play all"; };
  name();
  all.onclick = () => {
    run = !run;
    name();
    for (const player of players.values()) {
      player.paused = !run;
      if (run && player.seen) player.play(0);
      if (!run) player.stop();
    }
  };
}

for (const svg of document.querySelectorAll(".chart svg")) {
  const points = JSON.parse(svg.dataset.points);
  const cursor = svg.querySelector(".cursor");
  const reading = svg.closest(".chart").nextElementSibling;
  const [first, last] = [points[0][0], points[points.length - 1][0]];
  let at = points.length - 1;
  const read = (i) => {
    at = Math.max(0, Math.min(points.length - 1, i));
    const [step, loss, mean] = points[at];
    const x = last > first ? (svg.viewBox.baseVal.width * (step - first)) / (last - first) : 0;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.style.visibility = "visible";
    reading.textContent = `step ${step}: loss ${loss}, mean ${mean}`;
  };
  const idle = () => { cursor.style.visibility = "hidden"; reading.textContent = reading.dataset.idle; };
  svg.onpointermove = svg.onpointerdown = (event) => {
    const box = svg.getBoundingClientRect();
    read(Math.round(((event.clientX - box.left) / box.width) * (points.length - 1)));
  };
  svg.onpointerleave = svg.onblur = idle;
  svg.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: 10, PageDown: -10, Home: -points.length, End: points.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    read(at + step);
  };
}
