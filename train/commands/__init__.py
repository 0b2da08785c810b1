"""Commands of `train`, each imported only when it is called."""
