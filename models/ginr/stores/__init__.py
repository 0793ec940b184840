"""Files in object stores and on servers, by URL: read and written through fsspec, whole or not at all."""
