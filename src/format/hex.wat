;; Hexadecimal digits, 16 bytes at a time. hex_wasm.ts contains this module as bytes; test/format/hex_wasm_test.ts assembles
;; it and compares.
(module
  ;; One page that is read and two that are written.
  (memory (export "memory") 3)
  ;; Writes to $to the digits of the bytes from $from to $end, rounded up to 16 bytes.
  (func (export "hex") (param $from i32) (param $end i32) (param $to i32)
    (local $bytes v128) (local $high v128) (local $low v128)
    loop $next
      local.get $from
      v128.load
      local.set $bytes

      ;; high = "0123456789abcdef"[bytes >> 4]
      v128.const i8x16 48 49 50 51 52 53 54 55 56 57 97 98 99 100 101 102
      local.get $bytes
      i32.const 4
      i8x16.shr_u
      i8x16.swizzle
      local.set $high

      ;; low = "0123456789abcdef"[bytes & 15]
      v128.const i8x16 48 49 50 51 52 53 54 55 56 57 97 98 99 100 101 102
      local.get $bytes
      v128.const i8x16 15 15 15 15 15 15 15 15 15 15 15 15 15 15 15 15
      v128.and
      i8x16.swizzle
      local.set $low

      ;; One digit of each in turn: first those of the lower eight bytes, then those of the upper eight.
      local.get $to
      local.get $high
      local.get $low
      i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23
      v128.store
      local.get $to
      local.get $high
      local.get $low
      i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31
      v128.store offset=16

      ;; to += 32; from += 16; again if from < end
      local.get $to
      i32.const 32
      i32.add
      local.set $to
      local.get $from
      i32.const 16
      i32.add
      local.tee $from
      local.get $end
      i32.lt_u
      br_if $next
    end))
