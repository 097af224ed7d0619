"""What a run will need before it starts: memory, disk, time and GPU hours, each with its formula."""
