// The 3D scene: body, garments, joints and cameras of one clip, in the world's frame (Z up, metres).
import * as THREE from 'three';
import { OrbitControls } from '/OrbitControls.js';

const SIDE = { left: 0xff922b, right: 0x33adff, middle: 0xf0f0f0 };
const FRUSTUM = 0.8; // length of a camera's pyramid [m]

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.scene = new THREE.Scene();
    this.scene.background = new THREE.Color(0x14161a);
    this.camera = new THREE.PerspectiveCamera(40, 1, 0.05, 200);
    this.camera.up.set(0, 0, 1);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.addEventListener('change', () => this.draw());
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x40404a, 1.6));
    const sun = new THREE.DirectionalLight(0xffffff, 1.8);
    sun.position.set(2, -3, 5);
    this.scene.add(sun);
    const floor = new THREE.GridHelper(8, 16, 0x4a4f58, 0x2c3037);
    floor.rotation.x = Math.PI / 2;
    this.scene.add(floor);
    this.groups = {};
    for (const name of ['body', 'garments', 'joints', 'cameras']) {
      this.groups[name] = new THREE.Group();
      this.scene.add(this.groups[name]);
    }
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / Math.max(height, 1);
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  draw() { this.renderer.render(this.scene, this.camera); }

  show(name, visible) {
    this.groups[name].visible = visible;
    this.draw();
  }

  // A new clip: faces of each mesh, joints' parents and names, cameras.
  load(labels, faces) {
    for (const group of Object.values(this.groups)) {
      group.traverse((thing) => { thing.geometry?.dispose(); thing.material?.dispose(); });
      group.clear();
    }
    this.labels = labels;
    this.meshes = faces.map((triangles, k) => {
      const geometry = new THREE.BufferGeometry();
      geometry.setIndex(new THREE.BufferAttribute(triangles, 1));
      const [r, g, b] = labels.colours[k];
      const colour = new THREE.Color().setRGB(r / 255, g / 255, b / 255, THREE.SRGBColorSpace);
      const material = new THREE.MeshStandardMaterial({ color: colour, roughness: 0.85, side: THREE.DoubleSide });
      const mesh = new THREE.Mesh(geometry, material);
      mesh.frustumCulled = false;
      this.groups[k === 0 ? 'body' : 'garments'].add(mesh);
      return mesh;
    });
    this.spots = labels.joint_names.map((name) => {
      const side = name.startsWith('left') ? 'left' : name.startsWith('right') ? 'right' : 'middle';
      const material = new THREE.MeshBasicMaterial({ color: SIDE[side], depthTest: false, transparent: true });
      const spot = new THREE.Mesh(new THREE.SphereGeometry(0.014, 8, 6), material);
      spot.renderOrder = 2;
      this.groups.joints.add(spot);
      return spot;
    });
    const bones = new THREE.LineBasicMaterial({ color: 0xffffff, depthTest: false, transparent: true, opacity: 0.7 });
    this.bones = new THREE.LineSegments(new THREE.BufferGeometry(), bones);
    this.bones.renderOrder = 1;
    this.bones.frustumCulled = false;
    this.groups.joints.add(this.bones);
    this.frusta = labels.views.map((view) => {
      const lines = new THREE.LineSegments(pyramid(view.K), new THREE.LineBasicMaterial({ color: 0x5adc78 }));
      lines.matrixAutoUpdate = false;
      this.groups.cameras.add(lines);
      return lines;
    });
    const [x, y, z] = labels.joints_world[0][0];
    this.controls.target.set(x, y, z);
    this.camera.fov = 40;
    this.camera.position.set(x + 2.2, y - 3.0, z + 0.9);
    this.camera.updateProjectionMatrix();
    this.controls.update();
  }

  // A new frame: vertices of each mesh.
  update(t, vertices) {
    vertices.forEach((positions, k) => {
      const geometry = this.meshes[k].geometry;
      geometry.setAttribute('position', new THREE.BufferAttribute(positions, 3));
      geometry.computeVertexNormals();
    });
    const joints = this.labels.joints_world[t];
    joints.forEach((joint, j) => this.spots[j].position.set(...joint));
    const ends = this.labels.parents.flatMap((parent, j) => (parent < 0 ? [] : [...joints[parent], ...joints[j]]));
    this.bones.geometry.setAttribute('position', new THREE.Float32BufferAttribute(ends, 3));
    this.frusta.forEach((lines, k) => lines.matrix.copy(pose(this.labels.views[k].T_camera_world[t])));
    this.draw();
  }

  // Stand where a view's camera stands and look along it.
  lookThrough(view, t, height) {
    const { K, T_camera_world } = this.labels.views[view];
    const world = pose(T_camera_world[t]);
    this.camera.position.setFromMatrixPosition(world);
    const ahead = new THREE.Vector3(0, 0, 1).transformDirection(world);
    const far = this.controls.target.distanceTo(this.camera.position);
    this.controls.target.copy(this.camera.position).addScaledVector(ahead, far);
    this.camera.fov = (2 * Math.atan(height / (2 * K[1][1])) * 180) / Math.PI;
    this.camera.updateProjectionMatrix();
    this.controls.update();
    this.draw();
  }
}

// World pose of a camera (OpenCV axes) from T_camera_world.
function pose(rows) {
  return new THREE.Matrix4().set(...rows.flat()).invert();
}

function pyramid(K) {
  const [w, h] = [(K[0][2] * FRUSTUM) / K[0][0], (K[1][2] * FRUSTUM) / K[1][1]];
  const corners = [[-w, -h], [w, -h], [w, h], [-w, h]].map(([x, y]) => [x, y, FRUSTUM]);
  const lines = corners.flatMap((corner, k) => [[0, 0, 0], corner, corner, corners[(k + 1) % 4]]);
  return new THREE.BufferGeometry().setAttribute('position', new THREE.Float32BufferAttribute(lines.flat(), 3));
}
