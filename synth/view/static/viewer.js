// The page: choose a clip, move through time, switch labels on and off.
import { Stage } from '/stage.js';

const LAYERS = ['parts', 'garments', 'depth', 'normal', 'flow'];
const DRAWN = ['joints', 'box'];
const THINGS = ['body', 'garments', 'joints', 'cameras'];
const COLOURS = { l: '#ff922b', r: '#33adff', m: '#f0f0f0' };
const element = (id) => document.getElementById(id);
const state = { clips: [], clip: null, labels: null, frame: 0, on: new Set(), wanted: 0 };
let stage = null;

const json = async (address) => (await checked(address)).json();
const bytes = async (address) => (await checked(address)).arrayBuffer();

async function checked(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${await answer.text()}`);
  return answer;
}

function toggle(parent, name, on, change) {
  const label = document.createElement('label');
  const box = document.createElement('input');
  box.type = 'checkbox';
  box.id = `${parent.id}-${name}`;
  box.checked = on;
  box.addEventListener('change', () => change(box.checked));
  label.append(box, ` ${name}`);
  parent.append(label);
}

function figures() {
  const { clip, labels } = state;
  element('views').replaceChildren(...labels.views.map((_, view) => {
    const figure = document.createElement('figure');
    figure.title = 'Double-click: look from here in the 3D scene';
    const picture = document.createElement('img');
    picture.className = 'rgb';
    picture.alt = `view ${view}`;
    const layers = LAYERS.map((name) => {
      const layer = document.createElement('img');
      layer.className = `layer ${name}`;
      layer.alt = '';
      layer.hidden = true;
      return layer;
    });
    const pen = document.createElement('canvas');
    [pen.width, pen.height] = [clip.width * 2, clip.height * 2];
    const caption = document.createElement('figcaption');
    caption.textContent = `view ${view}`;
    figure.append(picture, ...layers, pen, caption);
    figure.addEventListener('dblclick', () => stage?.lookThrough(view, state.frame, clip.height));
    return figure;
  }));
}

function drawLabels(canvas, view, t) {
  const pen = canvas.getContext('2d');
  const { keypoints_2d, visibility, bbox } = state.labels.views[view];
  const [points, parents, names] = [keypoints_2d[t], state.labels.parents, state.labels.joint_names];
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.setTransform(2, 0, 0, 2, 0, 0);
  if (state.on.has('box') && bbox[t][0] !== null) {
    const [x0, y0, x1, y1] = bbox[t];
    pen.strokeStyle = '#5adc78';
    pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
  if (!state.on.has('joints')) return;
  const there = (j) => points[j][0] !== null;
  const colour = (j) => COLOURS[names[j].startsWith('left') ? 'l' : names[j].startsWith('right') ? 'r' : 'm'];
  parents.forEach((parent, j) => {
    if (parent < 0 || !there(j) || !there(parent)) return;
    pen.strokeStyle = colour(j);
    pen.beginPath();
    pen.moveTo(...points[parent]);
    pen.lineTo(...points[j]);
    pen.stroke();
  });
  points.forEach((point, j) => {
    if (!there(j)) return;
    pen.beginPath();
    pen.arc(...point, 1.6, 0, 2 * Math.PI);
    pen.strokeStyle = colour(j);
    pen.fillStyle = visibility[t][j] === 0 ? colour(j) : '#181a1e'; // hollow: hidden
    pen.fill();
    pen.stroke();
  });
}

// Give an image its picture and wait until it is there.
async function show(image, address) {
  if (image.dataset.address === address) return;
  image.dataset.address = address;
  image.src = address;
  await image.decode().catch(() => {});
}

async function update() {
  const ticket = ++state.wanted;
  const { clip, frame: t } = state;
  document.body.dataset.ready = '';
  element('frame').value = t;
  element('number').textContent = `${t} / ${clip.frames - 1}`;
  const base = `/api/clip/${clip.id}`;
  const waits = [...document.querySelectorAll('figure')].flatMap((figure, view) => {
    const at = `${base}/view/${view}/frame/${t}`;
    const layers = LAYERS.map((name) => {
      const layer = figure.querySelector(`.${name}`);
      layer.hidden = !state.on.has(name);
      return layer.hidden ? null : show(layer, `${at}/${name}`);
    });
    drawLabels(figure.querySelector('canvas'), view, t);
    return [show(figure.querySelector('.rgb'), `${at}/rgb`), ...layers];
  });
  const meshes = stage ? state.labels.meshes.map((_, k) => bytes(`${base}/mesh/${k}/frame/${t}`)) : [];
  const vertices = (await Promise.all(meshes)).map((block) => new Float32Array(block));
  await Promise.all(waits);
  if (ticket !== state.wanted) return; // a later frame was asked for meanwhile
  stage?.update(t, vertices);
  document.body.dataset.frame = t;
  document.body.dataset.ready = 'yes';
}

async function choose(id) {
  state.clip = state.clips.find((clip) => clip.id === id);
  state.labels = await json(`/api/clip/${id}/labels`);
  state.frame = 0;
  const { motion, outfit, gender } = state.clip.attributes;
  element('about').textContent = `${motion} · ${outfit} · ${gender} · ${state.clip.frames} frames, ${state.labels.fps} Hz`;
  element('frame').max = state.clip.frames - 1;
  figures();
  if (stage) {
    const faces = state.labels.meshes.map((_, k) => bytes(`/api/clip/${id}/mesh/${k}/faces`));
    stage.load(state.labels, (await Promise.all(faces)).map((block) => new Uint32Array(block)));
  }
  await update();
}

let timer = null;
function play() {
  element('play').textContent = timer ? '▶' : '❚❚';
  if (timer) { timer = clearInterval(timer); return; }
  timer = setInterval(() => {
    if (document.body.dataset.ready !== 'yes') return; // as fast as pictures come
    state.frame = (state.frame + 1) % state.clip.frames;
    update();
  }, 1000 / state.labels.fps);
}

async function start() {
  try {
    stage = new Stage(element('scene'));
  } catch (error) {
    console.warn(`no 3D scene: ${error.message}`);
    element('no-webgl').hidden = false;
  }
  for (const name of [...DRAWN, ...LAYERS]) {
    const on = name === 'joints';
    if (on) state.on.add(name);
    toggle(element('layers'), name, on, (checked) => {
      state.on[checked ? 'add' : 'delete'](name);
      update();
    });
  }
  for (const name of THINGS) toggle(element('things'), name, true, (checked) => stage?.show(name, checked));
  element('frame').addEventListener('input', (event) => { state.frame = Number(event.target.value); update(); });
  element('play').addEventListener('click', play);
  element('clip').addEventListener('change', (event) => choose(event.target.value));
  document.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.target.matches('input, select')) return;
    state.frame = (state.frame + step + state.clip.frames) % state.clip.frames;
    update();
  });
  state.clips = await json('/api/clips');
  element('clip').replaceChildren(...state.clips.map((clip) => new Option(clip.id, clip.id)));
  if (state.clips.length) await choose(state.clips[0].id);
}

start().catch((error) => { element('about').textContent = error.message; });
