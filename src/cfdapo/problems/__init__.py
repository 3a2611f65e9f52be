"""What is learned: problems, their answers and the graders."""
