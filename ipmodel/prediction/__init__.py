"""From a video or a sample to an answer: models that stand alone, what they look at, and what is shown of it."""
