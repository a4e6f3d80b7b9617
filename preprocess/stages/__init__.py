"""The four stages of program one, a module each. stage.py says what a stage is, plan.py what is to do."""
