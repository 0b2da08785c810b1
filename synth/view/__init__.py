"""A viewer in the browser: pictures beside the 3D scene, served to this machine only."""
