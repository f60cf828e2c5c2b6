"""What the product does: one module per noun, each with its tables and its SQL."""
