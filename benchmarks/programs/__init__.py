"""What contenders run in processes of their own."""
