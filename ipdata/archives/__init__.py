"""Archives as datasets' sites hand them out: what is in them, which tools read them, and how they are unpacked."""
