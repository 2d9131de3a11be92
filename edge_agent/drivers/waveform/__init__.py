"""What every source of samples needs: numbering, stamps, pace."""
