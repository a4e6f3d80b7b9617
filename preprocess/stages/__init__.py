"""The four stages of program one, and the plan of what each still has to make."""
