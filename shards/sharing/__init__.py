"""What labs do with sets: so far, the card that describes one."""
