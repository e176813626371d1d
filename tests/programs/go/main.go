// What a Go program does in a day: goroutines, channels, timers, files, JSON, sorting, panics.
// Prints nothing that depends on when or where it runs, unless asked with the argument "clock".
package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

func goroutines() {
	var wait sync.WaitGroup
	var lock sync.Mutex
	results := make(chan int, 100)
	total := 0
	for i := 0; i < 100; i++ {
		wait.Add(1)
		go func(n int) {
			defer wait.Done()
			time.Sleep(time.Duration(n%5) * time.Millisecond)
			lock.Lock()
			total += n
			lock.Unlock()
			results <- n * n
		}(i)
	}
	wait.Wait()
	close(results)
	squares := 0
	for r := range results {
		squares += r
	}
	fmt.Println("goroutines", total, squares)
}

func timers() {
	start := time.Now()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; i < 3; i++ {
		<-ticker.C
	}
	select {
	case <-time.After(5 * time.Millisecond):
		fmt.Println("timer fired", time.Since(start) >= 9*time.Millisecond)
	case <-make(chan int):
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func files(top string) {
	must(os.MkdirAll(filepath.Join(top, "a/b/c"), 0o755))
	for i := 0; i < 20; i++ {
		name := filepath.Join(top, "a/b", fmt.Sprintf("file-%02d.txt", i))
		must(os.WriteFile(name, []byte(strings.Repeat("line\n", i)), 0o644))
	}
	must(os.Rename(filepath.Join(top, "a/b/file-03.txt"), filepath.Join(top, "a/b/c/moved.txt")))
	must(os.Remove(filepath.Join(top, "a/b/file-04.txt")))
	must(os.Symlink("file-05.txt", filepath.Join(top, "a/b/link")))
	must(os.Link(filepath.Join(top, "a/b/file-06.txt"), filepath.Join(top, "a/b/second")))
	must(os.Truncate(filepath.Join(top, "a/b/file-07.txt"), 7))
	must(os.Chtimes(filepath.Join(top, "a/b/file-08.txt"), time.Unix(1e9, 0), time.Unix(2e9, 5)))
	f, err := os.OpenFile(filepath.Join(top, "a/b/file-09.txt"), os.O_APPEND|os.O_WRONLY, 0)
	must(err)
	_, err = f.WriteString("appended\n")
	must(err)
	must(f.Sync())
	must(f.Close())
	_, err = os.ReadFile(filepath.Join(top, "none"))
	fmt.Println("missing:", errors.Is(err, fs.ErrNotExist))
	_, err = os.Stat("/etc/passwd")
	fmt.Println("outside:", err != nil)
	must(filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		must(err)
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			must(err)
			fmt.Printf("%s %d %x\n", path, len(data), sha256.Sum256(data))
		} else {
			fmt.Println(path, d.Type())
		}
		return nil
	}))
	st, err := os.Stat(filepath.Join(top, "a/b/file-08.txt"))
	must(err)
	fmt.Println("mtime", st.ModTime().UTC().Format(time.RFC3339Nano))
	target, err := os.Readlink(filepath.Join(top, "a/b/link"))
	fmt.Println("link", target, err)
	must(os.RemoveAll(filepath.Join(top, "a/b/c")))
	temporary, err := os.MkdirTemp(top, "t-*")
	must(err)
	must(os.RemoveAll(temporary))
}

func input() {
	lines := bufio.NewScanner(os.Stdin)
	n, longest := 0, 0
	for lines.Scan() {
		n++
		if len(lines.Text()) > longest {
			longest = len(lines.Text())
		}
	}
	fmt.Println("input", n, longest, lines.Err())
}

func data() {
	in := `{"b":[1,2.5,"x"],"a":{"n":null,"t":true}}`
	var v map[string]any
	must(json.Unmarshal([]byte(in), &v))
	out, err := json.Marshal(v)
	must(err)
	keys := make([]string, 0)
	for k := range v {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	fmt.Println("json", string(out), keys)
	when := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	fmt.Println("time", when.AddDate(1, 0, 0).Format(time.RFC1123), when.YearDay())
	defer func() { fmt.Println("recovered:", recover()) }()
	var list []int
	fmt.Println(list[len(os.Args)])
}

func main() {
	fmt.Println("args", os.Args[1:], os.Getenv("A"), os.Getenv("SHELL") == "")
	goroutines()
	timers()
	files("/go")
	input()
	data()
	if len(os.Args) > 1 && os.Args[1] == "clock" {
		b := make([]byte, 16)
		_, err := rand.Read(b)
		must(err)
		fmt.Printf("%x %s\n", b, time.Now().UTC().Format(time.RFC3339Nano))
		choice := make(chan string)
		for _, name := range []string{"x", "y", "z"} {
			go func(s string) { choice <- s }(name)
		}
		fmt.Println(<-choice, <-choice, <-choice)
	}
	if len(os.Args) > 1 && os.Args[1] == "panic" {
		var p *int
		fmt.Println(*p)
	}
	os.Exit(3)
}
