"""What the library costs: beside what one would use instead, beside the limit of the machine, and as data grow."""
