"""What is measured against what. `make bench` runs all of it on real clips and records the result."""
