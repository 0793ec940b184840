"""What `import ginr` offers to programs: pictures of any kind in, the same kind out."""
