"""What any exhibit of this kind needs; imports no exhibit."""
