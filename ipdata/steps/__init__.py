"""The steps of a build (plan, extract, pack) and the output directory that it writes."""
