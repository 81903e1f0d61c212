"""What is made for the pages of docs/: the site, and its pictures. ``python -m pages`` lists the commands."""
