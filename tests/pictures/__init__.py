"""Tests of pictures and their files."""
