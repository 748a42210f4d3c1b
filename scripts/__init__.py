"""Gates that no library has; scripts/gates.sh runs them all."""
