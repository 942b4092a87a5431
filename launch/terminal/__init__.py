"""What several commands share on the screen: their options, tables and progress."""
