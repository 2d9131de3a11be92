"""What feature families are made of."""
