"""What people look at: pages, figures, words and screens."""
