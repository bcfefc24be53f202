"""A bundle and the runtime in one file: packed where legoclf is installed, started where it is not."""
