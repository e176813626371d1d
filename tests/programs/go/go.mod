module shannon.local/program

go 1.21
