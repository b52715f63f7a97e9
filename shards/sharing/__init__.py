"""What labs do with sets. So far: the card that describes a set."""
