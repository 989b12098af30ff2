"""What a recipe will take, by arithmetic alone: tokens, blocks, steps, CPU-hours, bytes. Nothing is read or started."""
