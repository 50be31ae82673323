"""What is made of results: JSON lines, captures, ladders, the summary, the baseline's judgement."""
