"""What the end-to-end tests stand on: real processes, and a contract that every answer is held against."""
