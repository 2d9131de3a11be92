"""Why a score is what it is, against what this very machine usually does."""
