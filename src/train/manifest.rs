//! Reads a manifest: a CSV file with one row a clip.
