"""Extensions of Gannet, one module each."""
