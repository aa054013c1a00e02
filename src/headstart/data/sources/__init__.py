"""Where data comes from: folders, tables, arrays, named sets, the hub."""
