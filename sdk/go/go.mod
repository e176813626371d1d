module shannon.local/sdk/go

go 1.22
