/**
 * The program of the sample image: prints the files that are its arguments, then the variable GREETING. Machine code,
 * because nobody who tries the quickstart should need a compiler; without a libc it runs in an image that is empty.
 */
export function showProgram(architecture: "amd64" | "arm64"): Uint8Array<ArrayBuffer> {
  return architecture === "amd64" ? elf(EM_X86_64, assemble(AMD64)) : elf(EM_AARCH64, assemble(ARM64))
}

/** The bytes of an instruction at `at`; jumps ask where their target is. */
type Instruction = (at: number, addressOf: (label: string) => number) => readonly number[]

const x86 =
  (hex: string): Instruction =>
  () => [...Buffer.from(hex, "hex")]
/** A jump over at most 127 bytes. */
const x86Jump =
  (opcode: number, label: string): Instruction =>
  (at, addressOf) => [opcode, (addressOf(label) - at - 2) & 0xff]

const little = (word: number): readonly number[] => [0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff)
const arm =
  (word: number): Instruction =>
  () =>
    little(word)
/** A word with the distance to its target, counted in words, in `bits` bits from bit `shift` on. */
const armJump =
  (word: number, [bits, shift]: readonly [number, number], label: string): Instruction =>
  (at, addressOf) =>
    little(word | ((((addressOf(label) - at) >> 2) & (2 ** bits - 1)) << shift))

const IMM14 = [14, 5] as const
const IMM19 = [19, 5] as const
const IMM26 = [26, 0] as const

/** What stands before "=" in the environment; as long as a register. */
const VARIABLE = "GREETING"

/** Labels end in a colon. */
const AMD64: readonly (Instruction | string)[] = [
  x86("4c8d642408"), // lea r12, [rsp+8]            argv
  "argument:",
  x86("4983c408"), // add r12, 8
  x86("498b3c24"), // mov rdi, [r12]
  x86("4885ff"), // test rdi, rdi
  x86Jump(0x74, "variable:"), // jz variable
  x86("6a0258"), // push 2; pop rax                 open(argument, O_RDONLY)
  x86("31f6"), // xor esi, esi
  x86("0f05"), // syscall
  x86("85c0"), // test eax, eax
  x86Jump(0x78, "argument:"), // js argument
  x86("89c3"), // mov ebx, eax
  "copy:",
  x86("31c0"), // xor eax, eax                      read(file, below the stack, 4096)
  x86("89df"), // mov edi, ebx
  x86("488db42400e0ffff"), // lea rsi, [rsp-8192]  where push does not reach
  x86("ba00100000"), // mov edx, 4096
  x86("0f05"), // syscall
  x86("85c0"), // test eax, eax
  x86Jump(0x7e, "argument:"), // jle argument
  x86("89c2"), // mov edx, eax                      write(1, the same, count)
  x86("6a0158"), // push 1; pop rax
  x86("89c7"), // mov edi, eax
  x86("0f05"), // syscall
  x86Jump(0xeb, "copy:"), // jmp copy
  "variable:",
  x86(`48bb${Buffer.from(VARIABLE).toString("hex")}`), // mov rbx, VARIABLE
  "next:",
  x86("4983c408"), // add r12, 8                    the environment follows the arguments
  x86("498b3424"), // mov rsi, [r12]
  x86("4885f6"), // test rsi, rsi
  x86Jump(0x74, "end:"), // jz end
  x86("48391e"), // cmp [rsi], rbx
  x86Jump(0x75, "next:"), // jne next
  x86("807e083d"), // cmp byte [rsi+8], '='
  x86Jump(0x75, "next:"), // jne next
  x86("4883c609"), // add rsi, 9
  x86("31d2"), // xor edx, edx
  "length:",
  x86("ffc2"), // inc edx
  x86("807c16ff00"), // cmp byte [rsi+rdx-1], 0
  x86Jump(0x75, "length:"), // jne length
  x86("c64416ff0a"), // mov byte [rsi+rdx-1], '\n'
  x86("6a0158"), // push 1; pop rax                 write(1, value, length)
  x86("89c7"), // mov edi, eax
  x86("0f05"), // syscall
  "end:",
  x86("6a3c58"), // push 60; pop rax                exit(0)
  x86("31ff"), // xor edi, edi
  x86("0f05"), // syscall
]

const ARM64: readonly (Instruction | string)[] = [
  arm(0x910023f3), // add x19, sp, 8                argv
  "argument:",
  arm(0xf8408e61), // ldr x1, [x19, 8]!
  armJump(0xb4000001, IMM19, "variable:"), // cbz x1, variable
  arm(0x92800c60), // mov x0, -100                  openat(AT_FDCWD, argument, O_RDONLY)
  arm(0xd2800002), // mov x2, 0
  arm(0xd2800708), // mov x8, 56
  arm(0xd4000001), // svc 0
  armJump(0x37f80000, IMM14, "argument:"), // tbnz w0, 31, argument
  arm(0x2a0003f4), // mov w20, w0
  "copy:",
  arm(0x2a1403e0), // mov w0, w20                   read(file, below the stack, 4096)
  arm(0xd14007e1), // sub x1, sp, 4096
  arm(0xd2820002), // mov x2, 4096
  arm(0xd28007e8), // mov x8, 63
  arm(0xd4000001), // svc 0
  arm(0x7100001f), // cmp w0, 0
  armJump(0x5400000d, IMM19, "argument:"), // b.le argument
  arm(0x2a0003e2), // mov w2, w0                    write(1, the same, count)
  arm(0x52800020), // mov w0, 1
  arm(0xd2800808), // mov x8, 64
  arm(0xd4000001), // svc 0
  armJump(0x14000000, IMM26, "copy:"), // b copy
  "variable:",
  armJump(0x58000014, IMM19, "name:"), // ldr x20, name
  "next:",
  arm(0xf8408e61), // ldr x1, [x19, 8]!             the environment follows the arguments
  armJump(0xb4000001, IMM19, "end:"), // cbz x1, end
  arm(0xf9400022), // ldr x2, [x1]
  arm(0xeb14005f), // cmp x2, x20
  armJump(0x54000001, IMM19, "next:"), // b.ne next
  arm(0x39402022), // ldrb w2, [x1, 8]
  arm(0x7100f45f), // cmp w2, '='
  armJump(0x54000001, IMM19, "next:"), // b.ne next
  arm(0x91002421), // add x1, x1, 9
  arm(0xd2800002), // mov x2, 0
  "length:",
  arm(0x38626823), // ldrb w3, [x1, x2]
  arm(0x91000442), // add x2, x2, 1
  armJump(0x35000003, IMM19, "length:"), // cbnz w3, length
  arm(0x8b020023), // add x3, x1, x2
  arm(0x52800144), // mov w4, '\n'
  arm(0x381ff064), // sturb w4, [x3, -1]
  arm(0x52800020), // mov w0, 1                     write(1, value, length)
  arm(0xd2800808), // mov x8, 64
  arm(0xd4000001), // svc 0
  "end:",
  arm(0x52800000), // mov w0, 0                     exit(0)
  arm(0xd2800ba8), // mov x8, 93
  arm(0xd4000001), // svc 0
  "name:",
  () => [...Buffer.from(VARIABLE)],
]

/** Twice: first to learn where the labels are. */
function assemble(lines: readonly (Instruction | string)[]): Uint8Array {
  const labels = new Map<string, number>()
  const pass = () => {
    const code: number[] = []
    for (const line of lines) {
      if (typeof line === "string") labels.set(line, code.length)
      else code.push(...line(code.length, (label) => labels.get(label) ?? 0))
    }
    return code
  }
  pass()
  return new Uint8Array(pass())
}

const EM_X86_64 = 62
const EM_AARCH64 = 183
const ADDRESS = 0x400000n
const ELF_HEADER = 64
const PROGRAM_HEADER = 56
/** The largest page that Linux has on these machines. */
const PAGE = 65_536n

/** An executable of one segment: the headers, and the code after them (System V ABI: "Object Files"). */
function elf(machine: number, code: Uint8Array): Uint8Array<ArrayBuffer> {
  const headers = ELF_HEADER + PROGRAM_HEADER
  const size = BigInt(headers + code.byteLength)
  const bytes = new Uint8Array(Number(size))
  const view = new DataView(bytes.buffer)
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]) // "\x7fELF", 64 bits, little-endian, version 1
  view.setUint16(16, 2, true) // ET_EXEC
  view.setUint16(18, machine, true)
  view.setUint32(20, 1, true)
  view.setBigUint64(24, ADDRESS + BigInt(headers), true) // entry
  view.setBigUint64(32, BigInt(ELF_HEADER), true) // offset of the program header
  view.setUint16(52, ELF_HEADER, true)
  view.setUint16(54, PROGRAM_HEADER, true)
  view.setUint16(56, 1, true) // one of them
  view.setUint32(64, 1, true) // PT_LOAD
  view.setUint32(68, 5, true) // readable and executable
  view.setBigUint64(80, ADDRESS, true) // virtual address
  view.setBigUint64(88, ADDRESS, true)
  view.setBigUint64(96, size, true) // in the file
  view.setBigUint64(104, size, true) // in memory
  view.setBigUint64(112, PAGE, true)
  bytes.set(code, headers)
  return bytes
}
