"""Networks that tell real motion from predicted motion."""
