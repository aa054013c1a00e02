"""The machine that trains: its device, its memory, its pace."""
